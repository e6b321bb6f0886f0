import gc
import weakref


class Session:
    live = weakref.WeakSet()

    def __init__(self, name):
        self.name = name
        Session.live.add(self)

    def __del__(self):
        ended.append(self.name)


ended = []
one, two = Session("one"), Session("two")
one.other, two.other = two, one
watcher = weakref.ref(one, lambda _: ended.append("watched"))
print(sorted(session.name for session in Session.live))
del one, two
print(gc.collect() > 0, sorted(ended), watcher(), len(Session.live))
cache = weakref.WeakValueDictionary()
kept = cache.setdefault("k", Session("kept"))
print(list(cache), "k" in cache)
