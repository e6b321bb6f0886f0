import os
import secrets
import uuid

print(secrets.token_hex(8), secrets.token_urlsafe(8), secrets.randbelow(100), secrets.choice("abcdef"))
print(uuid.uuid4(), uuid.uuid1(), uuid.uuid3(uuid.NAMESPACE_DNS, "x"), uuid.uuid5(uuid.NAMESPACE_URL, "y"))
print(os.urandom(8).hex(), os.getrandom(8).hex(), secrets.compare_digest("a", "a"), secrets.SystemRandom().random())
