import dataclasses
from dataclasses import dataclass, field


@dataclass(order=True)
class Item:
    price: float
    name: str = field(compare=False)
    tags: list = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0

    def moved(self, by):
        return dataclasses.replace(self, x=self.x + by)


items = [Item(3.5, "c"), Item(1.5, "a", ["new"]), Item(2.0, "b")]
print(sorted(items)[0], max(items).name, dataclasses.asdict(items[1]))
print({Point(1), Point(1, 0), Point(2)}, Point(1).moved(4))
try:
    Point(1).x = 5
except dataclasses.FrozenInstanceError as error:
    print(error)
