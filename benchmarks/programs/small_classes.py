"""Small objects with small methods."""

SIZE = 100_000


class Vector:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def plus(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def turned(self):
        return Vector(-self.y, self.x)


class Path:
    def __init__(self):
        self.at = Vector(0, 0)
        self.heading = Vector(1, 0)
        self.steps = 0

    def forward(self):
        self.at = self.at.plus(self.heading)
        self.steps += 1
        if self.steps % 10 == 0:
            self.heading = self.heading.turned()


path = Path()
for _ in range(SIZE):
    path.forward()
print(path.at.x, path.at.y, path.steps)
