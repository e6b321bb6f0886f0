import hashlib
import hmac
import sys

print(hash("text"), hash(b"bytes"), hash((1, "a")), hash(frozenset("abc")), hash(1.5), hash(None))
print(hashlib.sha256(b"x").hexdigest()[:16], hmac.new(b"k", b"m", "sha1").hexdigest()[:16])
print(sys.getsizeof([]), sys.intern("word") is sys.intern("word"))
thing = object()
print(repr(thing), id(thing) == id(thing), hash(thing) == hash(thing))
