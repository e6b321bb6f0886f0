class Account:
    def __init__(self, owner):
        self.owner = owner
        self.balance = 0

    def deposit(self, amount):
        self.balance += amount
        return self.balance


account = Account("ada")
print(account.deposit(10))
# %%
class Account:
    """A second version, as a model writes it after a mistake."""

    def __init__(self, owner):
        self.owner, self._log = owner, []

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError("only positive amounts")
        self._log.append(amount)
        return sum(self._log)


print(isinstance(account, Account), account.deposit(-5))
fresh = Account("eve")
print(fresh.deposit(3), vars(fresh))
