import bisect
import heapq
from collections import ChainMap, OrderedDict, deque
from itertools import accumulate, chain, groupby, islice, product

graph = {"a": {"b": 1, "c": 4}, "b": {"c": 2, "d": 6}, "c": {"d": 3}, "d": {}}
best, heap = {}, [(0, "a")]
while heap:
    cost, node = heapq.heappop(heap)
    if node in best:
        continue
    best[node] = cost
    for other, step in graph[node].items():
        heapq.heappush(heap, (cost + step, other))
print(best)
recent = deque(maxlen=3)
for number in accumulate(range(1, 7)):
    recent.append(number)
print(recent, bisect.bisect_left([1, 3, 5], 4), list(islice(chain("ab", "cd"), 3)))
print({key: len(list(group)) for key, group in groupby(sorted("mississippi"))})
print(ChainMap({"x": 1}, {"x": 2, "y": 3})["y"], list(OrderedDict.fromkeys("banana")), len(list(product("ab", repeat=3))))
