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
