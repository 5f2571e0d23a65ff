//! Programs of a few lines: each fills its memory, says `ready`, and waits for its input to end.
//! Their random numbers are the same each time.

/// Python: records as a web service would hold them, lists of lists, arrays of numbers.
pub(super) const PYTHON: &str = r#"
import array, random, sys
random.seed(7)
words = "page swap memory chunk frame slot device codec pool kernel".split()
people = {}
for i in range(60000):
    people[f"user{i:06}"] = {
        "id": i, "score": random.random(), "visits": random.randrange(1000),
        "tags": random.sample(words, 3), "address": f"{random.randrange(256)}.{i % 256}.0.1",
    }
graph = [[random.randrange(60000) for _ in range(8)] for _ in range(60000)]
counts = array.array("l", (random.randrange(100000) for _ in range(200000)))
prices = array.array("d", (random.randrange(1000000) / 100 for _ in range(200000)))
print("ready", flush=True)
sys.stdin.read()
"#;

/// SQLite, in Python: a table with an index, in memory or in the file that is named.
pub(super) const SQLITE: &str = r#"
import random, sqlite3, sys
random.seed(11)
words = "page swap memory chunk frame slot device codec pool kernel".split()
db = sqlite3.connect(sys.argv[1])
db.execute("create table item (id integer primary key, name text, price real, stock int, note text)")
db.executemany("insert into item values (?, ?, ?, ?, ?)", (
    (i, f"{random.choice(words)} {i}", random.randrange(10**6) / 100, random.randrange(500),
     " ".join(random.choices(words, k=random.randrange(3, 20)))) for i in range(200000)))
db.execute("create index by_name on item (name)")
db.commit()
print("ready", flush=True)
sys.stdin.read()
"#;

/// Perl: words counted into a hash of arrays.
pub(super) const PERL: &str = r#"
$| = 1; srand(13);
my %seen;
for my $i (0..120000) {
    my $word = join "", map { chr(97 + int rand 26) } 1..(3 + int rand 8);
    push @{$seen{$word}}, $i, rand();
}
print "ready\n";
<STDIN>;
"#;

/// JavaScript: objects in a map, strings, typed arrays.
pub(super) const NODE: &str = r#"
let state = 17;
const random = (n) => { state = (state * 48271) % 2147483647; return state % n; };
const words = "page swap memory chunk frame slot device codec pool kernel".split(" ");
const orders = new Map();
for (let i = 0; i < 120000; i++) {
  orders.set("order" + i, {
    id: i, total: random(1000000) / 100, at: new Date(1700000000000 + i * 1000),
    lines: [random(500), random(500), random(500)],
    note: words[random(10)] + " " + words[random(10)] + " " + i,
  });
}
const samples = Float64Array.from({ length: 200000 }, () => random(1000) / 8);
globalThis.kept = [orders, samples];
console.log("ready");
process.stdin.on("end", () => process.exit(0)).resume();
"#;

/// Java: records in a map and in lists.
pub(super) const JAVA: &str = r#"
import java.util.*;
public class Filled {
    record Event(int id, long at, double value, String name, List<Integer> path) {}
    public static void main(String[] args) throws Exception {
        var random = new Random(19);
        var words = "page swap memory chunk frame slot device codec pool kernel".split(" ");
        var events = new HashMap<String, Event>();
        for (int i = 0; i < 150000; i++) {
            var path = new ArrayList<Integer>();
            for (int n = random.nextInt(6); n >= 0; n--) path.add(random.nextInt(100000));
            var name = words[random.nextInt(10)] + "-" + i;
            events.put(name, new Event(i, 1700000000000L + i * 37L, random.nextDouble(), name, path));
        }
        System.out.println("ready");
        System.in.read();
        System.exit(events.size() > 0 ? 0 : 1);
    }
}
"#;

/// A large C file: structures and functions.
pub(super) fn large_c() -> String {
    let function = |i: usize| {
        format!(
            "struct node{i} {{ struct node{i} *next; int key, count[{n}]; const char *name; }};\n\
             int find{i}(struct node{i} *n, int key) {{\n\
             \x20 for (int depth = 0; n; n = n->next, depth++)\n\
             \x20   if (n->key == key + {i}) return n->count[depth % {n}] * {i} + (n->name ? n->name[0] : depth);\n\
             \x20 return -{i};\n}}\n",
            n = i % 9 + 1,
        )
    };
    (0..6000).map(function).collect()
}

/// A large C++ file: templates, and classes that use them.
pub(super) fn large_cpp() -> String {
    let templates = "\
        template<class K, class V> struct Pair { K key; V value; };\n\
        template<class T> struct List { T item; List *next; int length() const { int n = 0; for (auto l = this; l; l = l->next) n++; return n; } };\n\
        template<class K, class V> struct Tree {\n\
        \x20 Pair<K, V> pair; Tree *left = nullptr, *right = nullptr;\n\
        \x20 V *find(const K &key) { if (key < pair.key) return left ? left->find(key) : nullptr; if (pair.key < key) return right ? right->find(key) : nullptr; return &pair.value; }\n\
        \x20 template<class F> void each(F f) { if (left) left->each(f); f(pair); if (right) right->each(f); }\n};\n";
    let class = |i: usize| {
        format!(
            "struct Key{i} {{ int a, b[{n}]; bool operator<(const Key{i} &o) const {{ return a != o.a ? a < o.a : b[0] < o.b[0]; }} }};\n\
             struct Base{i} {{ virtual ~Base{i}() {{}} virtual int weigh(int by) const {{ return by * {i}; }} }};\n\
             struct Node{i} : Base{i} {{\n\
             \x20 Tree<Key{i}, List<long>> tree; long sum = 0;\n\
             \x20 int weigh(int by) const override {{ return by + (int)sum % {n}; }}\n\
             \x20 long total() {{ tree.each([this](auto &pair) {{ sum += pair.key.a * pair.value.length(); }}); return sum; }}\n}};\n\
             long use{i}(Node{i} &node, int a) {{ auto *found = node.tree.find(Key{i}{{a, {{{i}}}}}); return found ? found->length() + node.total() : node.weigh(a); }}\n",
            n = i % 9 + 1,
        )
    };
    templates.to_owned() + &(0..4000).map(class).collect::<String>()
}

/// A large Rust file: types, implementations of traits, generic functions.
pub(super) fn large_rust() -> String {
    let item = |i: usize| {
        format!(
            "#[derive(Clone, Debug, PartialEq)]\n\
             pub struct Node{i} {{ pub next: Option<Box<Node{i}>>, pub key: i64, pub count: [u32; {n}], pub name: String }}\n\
             impl Node{i} {{\n\
             \x20 pub fn find(&self, key: i64) -> Option<u32> {{\n\
             \x20   let mut at = Some(self);\n\
             \x20   let mut depth = 0;\n\
             \x20   while let Some(node) = at {{\n\
             \x20     if node.key == key + {i} {{ return Some(node.count[depth % {n}] * {i} + node.name.len() as u32); }}\n\
             \x20     at = node.next.as_deref();\n\
             \x20     depth += 1;\n\
             \x20   }}\n\
             \x20   None\n\
             \x20 }}\n\
             \x20 pub fn keys(&self) -> Vec<i64> {{ self.count.iter().map(|c| i64::from(*c) + self.key).collect() }}\n}}\n",
            n = i % 9 + 1,
        )
    };
    (0..3000).map(item).collect()
}
