import subprocess
import sys

done = subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True, text=True)
print(done.returncode, done.stdout, done.stderr)
print(subprocess.check_output([sys.executable, "-c", "print(6 * 7)"], text=True).strip())
try:
    subprocess.run("exit 4", shell=True, check=True)
except subprocess.CalledProcessError as error:
    print(error)
try:
    subprocess.run(["no-such-program"])
except FileNotFoundError as error:
    print(error.strerror, error.filename)
print(subprocess.run(["sort"], input="b\na\n", capture_output=True, text=True).stdout)
# %%
subprocess.run("printf made > made.txt; mkdir -p deep && printf x > deep/f", shell=True, check=True)
print(open("made.txt").read(), open("deep/f").read())
