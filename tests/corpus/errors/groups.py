import traceback
import warnings

try:
    raise ExceptionGroup("many", [ValueError("v"), TypeError("t"), ExceptionGroup("inner", [OSError("o")])])
except* ValueError as group:
    print("values", [str(error) for error in group.exceptions])
except* (TypeError, OSError) as group:
    print("others", group.subgroup(OSError) is not None)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    warnings.warn("old interface", DeprecationWarning)
print([str(each.message) for each in caught])
try:
    [][1]
except IndexError:
    print(traceback.format_exc().splitlines()[-1])
