"""The shortest of loops."""

SIZE = 400_000

left = SIZE
odd = 0
while left > 0:
    odd += left & 1
    left -= 1
print(odd)
