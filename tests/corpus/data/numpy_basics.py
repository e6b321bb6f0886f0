import numpy as np

rng = np.random.default_rng()
samples = rng.normal(10, 2, size=1000)
print(samples.mean(), samples.std(), np.percentile(samples, [5, 50, 95]))
grid = np.arange(12).reshape(3, 4)
print(grid.sum(axis=0), grid[grid > 5], grid @ grid.T)
np.save("grid.npy", grid)
np.savetxt("grid.txt", grid, fmt="%d")
assert (np.load("grid.npy") == np.loadtxt("grid.txt")).all()
view = grid[1:, ::2]
view[0, 0] = 99
print(grid)
