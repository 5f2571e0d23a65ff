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
