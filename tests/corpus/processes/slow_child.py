import subprocess

try:
    subprocess.run(["sleep", "30"], timeout=0.05)
except subprocess.TimeoutExpired as error:
    print("too slow", error.timeout)
child = subprocess.Popen(["sleep", "30"])
print(child.poll())
child.terminate()
print(child.wait())
