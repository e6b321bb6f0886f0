import sqlite3
from contextlib import closing

with closing(sqlite3.connect("shop.db")) as db:
    db.execute("create table items (id integer primary key, name text, price real)")
    db.executemany("insert into items (name, price) values (?, ?)", [("pen", 1.5), ("book", 12.0), ("bag", 30.0)])
    db.commit()
    db.row_factory = sqlite3.Row
    for row in db.execute("select name, price from items where price > ? order by price desc", (1.6,)):
        print(dict(row))
    try:
        db.execute("insert into items (id, name) values (1, 'again')")
    except sqlite3.IntegrityError as error:
        print(error)
    db.rollback()
# %%
connection = sqlite3.connect("shop.db")
count, total = connection.execute("select count(*), sum(price) from items").fetchone()
print(count, total)
connection.close()
