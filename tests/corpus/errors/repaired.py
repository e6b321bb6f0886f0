prices = {"pen": "1.50", "book": "12,00"}
total = sum(float(price) for price in prices.values())
# ends: error ValueError
# %%
total = sum(float(price.replace(",", ".")) for price in prices.values())
print(total)
# %%
print(totals)
# ends: error NameError
# %%
def average(numbers):
    return sum(numbers) / len(numbers)


average([])
# ends: error ZeroDivisionError
# %%
def average(numbers):
    return sum(numbers) / len(numbers) if numbers else None


print(average([]), average([1, 2]))
