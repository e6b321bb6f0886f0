import email.message
import email.utils
import http.cookiejar
import io
import logging
import timeit

stream = io.StringIO()
handler = logging.StreamHandler(stream)
handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(thread)d %(name)s %(message)s"))
log = logging.getLogger("corpus")
log.addHandler(handler)
log.warning("written at %s", email.utils.formatdate(localtime=True))
print(stream.getvalue())
print(email.utils.make_msgid(domain="example.org"))
print(timeit.timeit("sum(range(10))", number=5) >= 0, http.cookiejar.time2isoz())
log.removeHandler(handler)
