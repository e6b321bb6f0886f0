def broken(:
    pass
# ends: error SyntaxError
# %%
print("recovered")
raise SystemExit("enough")
# ends: exited
# %%
print("and goes on")
