import calendar
import datetime
import datetime as dt
from datetime import date, datetime as DateTime, timedelta, timezone
from zoneinfo import ZoneInfo

print(datetime.datetime.now(), dt.datetime.utcnow(), DateTime.today(), date.today())
print(DateTime.now(timezone.utc), DateTime.now(ZoneInfo("Europe/Berlin")), DateTime.now().astimezone())
print(calendar.month(*DateTime.now().timetuple()[:2]).splitlines()[0], DateTime.now().strftime("%c"))
print(DateTime.fromtimestamp(1_700_000_000), (date.today() + timedelta(days=30)).isoformat())


class Stamp(DateTime):
    pass


print(Stamp.now() - DateTime.now() < timedelta(seconds=60), type(Stamp.now()).__name__)
