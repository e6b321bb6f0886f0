import pandas as pd

now = pd.Timestamp.now()
days = pd.date_range(end=now.normalize(), periods=5, freq="D")
series = pd.Series(range(5), index=days)
print(series.rolling(2).sum())
print((pd.Timestamp("today") - now).total_seconds() >= 0, pd.to_datetime("now").year >= now.year)
print(series.sample(3))
