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
