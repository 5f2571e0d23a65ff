//! Programs find on a mount what they find in a bare directory, and leave there what they leave
//! in one, byte for byte.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use compcache_tests::tree::{Detail, Tree};
use compcache_tests::{Mode, MountBed, Outcome, Running, needs, wait_until};

/// Runs a script of the shell in a directory.
#[track_caller]
fn script(directory: &Path, text: &str, environment: &[(&str, &Path)]) -> String {
    let mut command = Command::new("sh");
    command.args(["-euc", text]).current_dir(directory);
    command.envs(environment.iter().copied());
    Outcome::of(&mut command).success()
}

/// Does something in a bare directory, and then on a mount at the same path, in each mode; what
/// it gives must be the same, and so must the tree that is left, but for what `leave_out` names.
fn same_as_bare<T: PartialEq>(
    bed: &MountBed,
    detail: Detail,
    leave_out: impl Fn(&Path) -> bool,
    act: impl Fn(&Path) -> T,
) {
    let read = |directory: &Path| Tree::read(directory, detail, &leave_out);
    let [point, source] = [bed.point(), bed.source()].map(|directory| directory.join("work"));
    fs::create_dir(&point).expect("a new directory");
    let bare = act(&point);
    let wanted = read(&point);
    assert!(wanted.count() > 1, "nothing was made");
    fs::remove_dir_all(&point).expect("the directory to go");
    for mode in Mode::ALL {
        let size: &[&str] = match mode {
            Mode::Ram => &["--size", "1G"],
            _ => &["--cache", "16M"],
        };
        bed.mount(mode, size);
        fs::create_dir(&point).expect("a new directory");
        assert!(act(&point) == bare, "{mode:?}: another result");
        wanted.assert_same(&read(&point), &format!("{mode:?}, the mount"));
        bed.umount();
        if mode != Mode::Ram {
            wanted.assert_same(&read(&source), &format!("{mode:?}, SOURCE"));
            fs::remove_dir_all(&source).expect("the directory to go");
        }
    }
}

/// The project's own sources, as they are beside this test.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn git() {
    if !needs::programs(&["git"]) {
        return;
    }
    let Some(bed) = MountBed::new() else { return };
    // Index files hold inode numbers and times.
    let index = |path: &Path| path.ends_with(".git/index");
    same_as_bare(&bed, Detail::Contents, index, |directory| {
        let text = r#"
            export HOME="$PWD" GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
            export GIT_AUTHOR_DATE='2006-07-01T00:00:00Z' GIT_COMMITTER_DATE='2006-07-01T00:00:00Z'
            export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.invalid
            export GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@example.invalid
            git init --quiet --initial-branch=main origin
            cd origin
            git config gc.auto 0
            git config pack.threads 1
            for part in engine device daemon cli tests; do
                mkdir "$part"
                cp -R "$SOURCES/$part/src" "$part"
                git add "$part"
                git commit --quiet --message "Add $part"
            done
            git checkout --quiet -b side HEAD~2
            find . -name '*.rs' | LC_ALL=C sort | while read -r file; do
                echo "// $file" >>"$file"
            done
            git commit --quiet --all --message 'Say where'
            git checkout --quiet main
            git merge --quiet --no-edit side
            git rm --quiet -r device
            git commit --quiet --message 'Remove'
            git gc --quiet --prune=now
            git fsck --strict --full
            cd ..
            git clone --quiet --no-hardlinks origin clone
            cd clone
            git checkout --quiet HEAD~4
            git checkout --quiet main
            git fsck --strict --full
            test -z "$(git status --porcelain)"
            git log --format='%H %T'
            git ls-tree -r HEAD
        "#;
        script(directory, text, &[("SOURCES", &sources())])
    });
}

#[test]
fn cargo_build() {
    let Some(bed) = MountBed::new() else { return };
    let program = |path: &Path| path.starts_with("target");
    same_as_bare(&bed, Detail::Contents, program, |directory| {
        fs::create_dir_all(directory.join("src")).expect("a directory");
        fs::write(
            directory.join("Cargo.toml"),
            "[package]\nname = \"tiny\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[workspace]\n",
        )
        .expect("a file");
        let code = "pub fn words() -> Vec<String> { std::env::args().skip(1).rev().collect() }\n";
        fs::write(directory.join("src/lib.rs"), code).expect("a file");
        let code = "fn main() { println!(\"{:?}\", tiny::words()); }\n";
        fs::write(directory.join("src/main.rs"), code).expect("a file");
        let build = || {
            Outcome::of(
                Command::new(env!("CARGO"))
                    .args(["build", "--offline"])
                    .current_dir(directory)
                    .env("CARGO_INCREMENTAL", "0")
                    .env_remove("RUSTFLAGS")
                    .env_remove("CARGO_TARGET_DIR")
                    .env_remove("CARGO_BUILD_TARGET_DIR"),
            )
        };
        let first = build();
        assert!(first.stderr.contains("Compiling tiny"), "{first}");
        first.success();
        let second = build();
        assert!(
            !second.stderr.contains("Compiling"),
            "all was fresh: {second}"
        );
        second.success();
        let path = directory.join("target/debug/tiny");
        let out = Outcome::of(Command::new(&path).args(["one", "two"])).success();
        assert_eq!(out, "[\"two\", \"one\"]\n");
        fs::read(path).expect("the program")
    });
}

#[test]
fn sqlite_with_concurrent_writers() {
    if !needs::programs(&["sqlite3"]) {
        return;
    }
    let Some(bed) = MountBed::new() else { return };
    // Who comes first writes first.
    let databases = |path: &Path| path.extension().is_some();
    same_as_bare(&bed, Detail::Contents, databases, |directory| {
        ["delete", "wal"].map(|journal| {
            let database = directory.join(format!("{journal}.db"));
            let sqlite = |text: &str| {
                let mut command = Command::new("sqlite3");
                command.args(["-batch", "-bail", "-cmd", ".timeout 100000"]);
                command.arg(&database).arg(text);
                command
            };
            let prepare = format!(
                "PRAGMA journal_mode={journal}; CREATE TABLE t(writer, number, text);
                 CREATE UNIQUE INDEX i ON t(writer, number);"
            );
            Outcome::of(&mut sqlite(&prepare)).success();
            let writers: Vec<Running> = (0..3)
                .map(|writer| {
                    let text: String = (0..40)
                        .map(|number| {
                            format!(
                                "BEGIN IMMEDIATE; INSERT INTO t VALUES({writer}, {number}, printf('%.{}c', 'x')); \
                                 UPDATE t SET text = text || 'y' WHERE writer = {writer} AND number = {number} / 2; COMMIT;\n",
                                number * 97 % 5000 + 1,
                            )
                        })
                        .collect();
                    Running::start(&mut sqlite(&text))
                })
                .collect();
            for writer in writers {
                writer.finish().success();
            }
            let found = Outcome::of(&mut sqlite(
                "PRAGMA integrity_check; SELECT writer, number, length(text), text FROM t ORDER BY 1, 2;",
            ))
            .success();
            assert!(found.starts_with("ok\n"), "{}", &found[..found.len().min(200)]);
            fs::write(directory.join(journal), &found).expect("a file");
            found
        })
    });
}

/// Debian's directory of PostgreSQL's programs, or those in PATH.
fn postgres_programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|path| path.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().or_else(|| {
        std::env::split_paths(&std::env::var_os("PATH")?).find(|path| path.join("initdb").exists())
    })
}

/// An account that PostgreSQL can run as, which root is not.
fn unprivileged() -> &'static str {
    let users = fs::read_to_string("/etc/passwd").expect("the users");
    if users.lines().any(|line| line.starts_with("postgres:")) {
        "postgres"
    } else {
        "nobody"
    }
}

#[test]
fn postgresql() {
    let programs = postgres_programs();
    if !needs::need(programs.is_some(), "needs PostgreSQL") {
        return;
    }
    let programs = programs.expect("checked");
    let Some(bed) = MountBed::new() else { return };
    let user = unprivileged();
    let sockets = bed.bed().directory().join("sockets");
    fs::create_dir(&sockets).expect("a directory");
    script(&sockets, &format!("chown {user}: ."), &[]);
    let data = |path: &Path| path == Path::new("data");
    same_as_bare(&bed, Detail::Contents, data, |directory| {
        script(
            directory,
            &format!("install -d -m 700 -o {user} data; echo >made"),
            &[],
        );
        let text = r#"
            export PATH="$PROGRAMS:$PATH" PGHOST="$SOCKETS" PGUSER=postgres PGDATABASE=postgres LC_ALL=C
            initdb --pgdata=data --username=postgres --auth=trust --data-checksums >"$SOCKETS/log"
            trap 'pg_ctl --pgdata=data --mode=immediate stop >/dev/null 2>&1 || :' EXIT
            start() {
                pg_ctl --pgdata=data --wait --log="$SOCKETS/log" start >/dev/null \
                    --options="-k '$SOCKETS' -h '' -c shared_buffers=1MB -c max_connections=20" ||
                    { cat "$SOCKETS/log"; exit 1; }
            }
            start
            pgbench --initialize --quiet --scale=1 2>/dev/null
            pgbench --no-vacuum --client=1 --transactions=200 --random-seed=7 >/dev/null 2>&1
            pg_ctl --pgdata=data --wait --mode=fast stop >/dev/null
            start
            query() { psql --no-align --tuples-only --command="$1"; }
            query "SELECT md5(string_agg(aid || ' ' || abalance, ',' ORDER BY aid)) FROM pgbench_accounts"
            query "SELECT md5(string_agg(tid || ' ' || bid || ' ' || aid || ' ' || delta, ',' ORDER BY aid, delta)) FROM pgbench_history"
            pgbench --no-vacuum --client=4 --transactions=50 >/dev/null 2>&1
            query "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)"
            query "SELECT (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history)"
            pg_ctl --pgdata=data --wait --mode=fast stop >/dev/null
            pg_checksums --check --pgdata=data | grep 'Bad checksums'
        "#;
        let found = Outcome::of(
            Command::new("setpriv")
                .args([
                    &format!("--reuid={user}"),
                    "--clear-groups",
                    "--regid=65534",
                ])
                .args(["sh", "-euc", text])
                .env("PROGRAMS", &programs)
                .env("SOCKETS", &sockets)
                .current_dir(directory),
        )
        .success();
        let mut lines = found.lines().skip(2);
        assert_eq!(lines.next(), Some("t"), "{found}");
        assert_eq!(lines.next(), Some("t|400"), "{found}");
        let bad = lines.next().unwrap_or_default();
        assert!(bad.ends_with(" 0"), "{found}");
        wait_until("the end of the server", || {
            !directory.join("data/postmaster.pid").exists()
        });
        found
    });
}

/// What tar(1) unpacks has all that it had, and is packed to the same archive again.
#[test]
fn tar_there_and_back() {
    if !needs::programs(&["tar", "python3"]) {
        return;
    }
    let Some(bed) = MountBed::new() else { return };
    let tree = bed.bed().directory().join("tree");
    special_files(&tree);
    let archive = bed.bed().directory().join("tree.tar");
    let pack = r#"tar --create --file="$ARCHIVE" --sort=name --format=posix --sparse \
        --pax-option=delete=atime,delete=ctime,exthdr.name=%d/%f --xattrs --xattrs-include='*' ."#;
    script(&tree, pack, &[("ARCHIVE", &archive)]);
    let wanted = Tree::read(&tree, Detail::Everything, |_| false);
    same_as_bare(
        &bed,
        Detail::Everything,
        |_| false,
        |directory| {
            let text = "tar --extract --file=\"$ARCHIVE\" --preserve-permissions --same-owner \
            --xattrs --xattrs-include='*'";
            script(directory, text, &[("ARCHIVE", &archive)]);
            wanted.assert_same(
                &Tree::read(directory, Detail::Everything, |_| false),
                "unpacked",
            );
            let again = bed.bed().directory().join("again.tar");
            script(directory, pack, &[("ARCHIVE", &again)]);
            fs::read(&archive).expect("the archive") == fs::read(&again).expect("the new archive")
        },
    );
}

/// Files of every kind, and the kernel's headers.
fn special_files(tree: &Path) {
    fs::create_dir(tree).expect("a directory");
    let text = r#"
        if [ -d /usr/include/linux ]; then cp -a /usr/include/linux include; fi
        cp -a "$SOURCES/engine/src" sources
        mkdir -m 3771 rights
        for mode in 0000 0400 0755 1644 2755 4755 6711; do
            echo "$mode" >"rights/$mode"
            chown 1234:4321 "rights/$mode"
            chmod "$mode" "rights/$mode"
        done
        mkdir links
        echo one >links/one
        ln links/one links/two
        ln -s one links/symbolic
        ln -s "$(printf '%0200d' 7)" links/dangling
        mkfifo -m 620 fifo
        mknod null c 1 3
        mknod block b 7 99
        python3 - <<'END'
import os, socket
os.chdir('links')
name = 'n' * 255
open(name, 'w').write('a long name')
open('\u00fc \n"', 'w').write('an odd name')
with open('sparse', 'wb') as f:
    f.seek(5 << 30)
    f.write(b'far away')
    f.truncate(6 << 30)
os.truncate('sparse', 3 << 20)
with open('holes', 'r+b' if os.path.exists('holes') else 'w+b') as f:
    f.seek(1 << 20)
    f.write(b'between holes')
    f.truncate(2 << 20)
os.setxattr('one', 'user.small', b'value')
os.setxattr('one', 'user.empty', b'')
os.setxattr('one', 'user.large', bytes(range(256)) * 8)
os.setxattr('.', 'user.directory', b'value')
os.setxattr('one', 'trusted.compcache', b'for root')
# An access control list: user 1234 may read.
acl = bytes.fromhex('02000000' '01000600ffffffff' '02000400d2040000' '04000400ffffffff' '10000400ffffffff' '20000000ffffffff')
os.setxattr('one', 'system.posix_acl_access', acl)
os.utime('one', ns=(1, 1151712000123456789))
os.utime('symbolic', ns=(1, 987654321987654321), follow_symlinks=False)
os.utime('.', ns=(1, 1234567890000000001))
END
    "#;
    script(tree, text, &[("SOURCES", &sources())]);
}
