import csv
from collections import defaultdict

rows = [
    {"date": "2024-01-03", "region": "north", "amount": "120.50"},
    {"date": "2024-01-04", "region": "south", "amount": "80.00"},
    {"date": "2024-01-04", "region": "north", "amount": "19.50"},
]
with open("sales.csv", "w", newline="") as f:
    writer = csv.DictWriter(f, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)

totals = defaultdict(float)
with open("sales.csv", newline="") as f:
    for row in csv.DictReader(f):
        totals[row["region"]] += float(row["amount"])
for region, total in sorted(totals.items(), key=lambda pair: -pair[1]):
    print(f"{region:<8}{total:>10.2f}")
