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
