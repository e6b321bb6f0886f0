import random
from random import choice, randint as roll, random as draw, shuffle

print(random.random(), draw(), roll(1, 6), choice("abc"), random.uniform(1, 2), random.gauss(0, 1))
deck = list(range(10))
shuffle(deck)
print(deck, random.sample(range(100), 5), random.choices("xy", weights=[3, 1], k=6), random.getrandbits(64))
own, system = random.Random(), random.SystemRandom()
print(own.random(), system.randrange(1000), random.Random("seed").random(), random.randbytes(4))
state = random.getstate()
first = random.random()
random.setstate(state)
print(first == random.random())
random.seed()
print(random.random())
random.seed(1)
print(random.random())
