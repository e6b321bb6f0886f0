import enum


class Colour(enum.Enum):
    RED = 1
    GREEN = 2

    @classmethod
    def default(cls):
        return cls.GREEN


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 5


print(list(Colour), Colour(2) is Colour.GREEN, Colour["RED"].name, Colour.default())
print(Right.READ | Right.WRITE, Right.READ in (Right.READ | Right.WRITE), Level.HIGH > Level.LOW)
try:
    Colour(9)
except ValueError as error:
    print(error)
chosen = {Colour.RED: "stop", Colour.GREEN: "go"}
match Colour(1):
    case Colour.RED:
        print(chosen[Colour.RED])
