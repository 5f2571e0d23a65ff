template<class K, class V> struct Pair { K key; V value; };
template<class T> struct List { T item; List *next; int length() const { int n = 0; for (auto l = this; l; l = l->next) n++; return n; } };
template<class K, class V> struct Tree {
  Pair<K, V> pair; Tree *left = nullptr, *right = nullptr;
  V *find(const K &key) { if (key < pair.key) return left ? left->find(key) : nullptr; if (pair.key < key) return right ? right->find(key) : nullptr; return &pair.value; }
  template<class F> void each(F f) { if (left) left->each(f); f(pair); if (right) right->each(f); }
};
