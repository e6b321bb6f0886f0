import pandas as pd

frame = pd.DataFrame(
    {
        "city": ["Ulm", "Bonn", "Ulm", "Kiel", "Bonn", "Ulm"],
        "year": [2021, 2021, 2022, 2022, 2022, 2023],
        "value": [3.0, None, 5.5, 1.25, 4.0, 7.0],
    }
)
frame["value"] = frame["value"].fillna(frame["value"].mean())
summary = frame.groupby("city")["value"].agg(["count", "mean", "max"]).sort_values("mean")
print(summary)
frame.to_csv("cities.csv", index=False)
again = pd.read_csv("cities.csv")
print(again.dtypes, again.equals(frame))
