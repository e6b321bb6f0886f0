import numpy as np

print(np.random.rand(3), np.random.randint(0, 100, 5), np.random.permutation(6))
np.random.seed(7)
print(np.random.choice(["a", "b", "c"], size=4))
print(np.random.RandomState().uniform(size=2), np.random.SeedSequence().entropy)
generator = np.random.default_rng(42)
walk = np.cumsum(generator.integers(-1, 2, size=20))
print(walk, int(walk.argmax()))
