import configparser
import pickle
import shelve
import tomllib

config = configparser.ConfigParser()
config["server"] = {"host": "localhost", "port": "8080"}
with open("app.ini", "w") as f:
    config.write(f)
again = configparser.ConfigParser()
again.read("app.ini")
print(again.getint("server", "port"), again.sections())
with open("app.toml", "w") as f:
    f.write('title = "x"\n[owner]\nnames = ["a", "b"]\n')
with open("app.toml", "rb") as f:
    print(tomllib.load(f))
with open("state.pkl", "wb") as f:
    pickle.dump({"seen": {1, 2}, "when": (1, 2.5)}, f)
with open("state.pkl", "rb") as f:
    print(pickle.load(f))
with shelve.open("cache") as cache:
    cache["answer"] = 42
with shelve.open("cache") as cache:
    print(dict(cache))
