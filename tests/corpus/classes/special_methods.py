import functools
import operator


@functools.total_ordering
class Money:
    __slots__ = ("cents",)

    def __init__(self, cents):
        self.cents = cents

    def __add__(self, other):
        return Money(self.cents + other.cents)

    __radd__ = lambda self, other: self if other == 0 else self + other

    def __eq__(self, other):
        return isinstance(other, Money) and self.cents == other.cents

    def __lt__(self, other):
        return self.cents < other.cents

    def __hash__(self):
        return hash(self.cents)

    def __format__(self, spec):
        return f"{self.cents / 100:{spec or '.2f'}}"

    def __getattr__(self, name):
        raise AttributeError(f"no {name} here")


wallet = [Money(150), Money(275)]
print(f"{sum(wallet)} {max(wallet):.1f}", Money(1) in set(wallet), operator.attrgetter("cents")(wallet[0]))
try:
    wallet[0].owner
except AttributeError as error:
    print(error)


class Positive:
    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, instance, owner):
        return self if instance is None else getattr(instance, self.name)

    def __set__(self, instance, value):
        if value < 0:
            raise ValueError(f"{self.name[1:]} must not be negative")
        setattr(instance, self.name, value)


class Order:
    quantity = Positive()


order = Order()
order.quantity = 3
print(order.quantity, vars(order))
