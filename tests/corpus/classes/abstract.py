import abc
from typing import NamedTuple, Protocol, runtime_checkable


class Shape(abc.ABC):
    registry = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        Shape.registry[cls.__name__] = cls

    @property
    @abc.abstractmethod
    def area(self): ...

    def __lt__(self, other):
        return self.area < other.area


class Square(Shape):
    def __init__(self, side):
        self.side = side

    @property
    def area(self):
        return self.side**2

    def __repr__(self):
        return f"Square({self.side})"


class Circle(Shape):
    area = 3.14

    def __repr__(self):
        return "Circle()"


@runtime_checkable
class HasArea(Protocol):
    area: float


class Pair(NamedTuple):
    left: Shape
    right: Shape


print(sorted([Square(3), Circle(), Square(1)]), list(Shape.registry), isinstance(Circle(), HasArea))
print(Pair(Square(1), Circle())._asdict())
try:
    Shape()
except TypeError as error:
    print("abstract" in str(error))
