import functools


@functools.lru_cache(maxsize=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


print(fib(60), fib.cache_info())


class Report:
    computed = 0

    @functools.cached_property
    def total(self):
        Report.computed += 1
        return sum(range(100))


report = Report()
print(report.total + report.total, Report.computed)
# %%
print(fib(61), fib.cache_info().hits)
fib.cache_clear()
memo = {}


def paths(rows, columns):
    if rows == 0 or columns == 0:
        return 1
    key = rows, columns
    if key not in memo:
        memo[key] = paths(rows - 1, columns) + paths(rows, columns - 1)
    return memo[key]


print(paths(6, 6), len(memo))
