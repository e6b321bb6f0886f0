"""A planet on its way around a sun, step by step."""

SIZE = 60_000

x, y = 1.0, 0.0
vx, vy = 0.0, 1.0
step = 0.001
for _ in range(SIZE):
    distance = (x * x + y * y) ** 0.5
    pull = 1.0 / (distance * distance * distance)
    vx -= x * pull * step
    vy -= y * pull * step
    x += vx * step
    y += vy * step
energy = (vx * vx + vy * vy) / 2 - 1.0 / (x * x + y * y) ** 0.5
print(f"{x:.6f} {y:.6f} {energy:.6f}")
