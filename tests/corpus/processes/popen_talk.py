import subprocess
import sys

code = "import sys\nfor line in sys.stdin:\n    print(line.strip()[::-1], flush=True)\n"
child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
for word in ("stressed", "drawer"):
    child.stdin.write(word + "\n")
    child.stdin.flush()
    print(child.stdout.readline().strip(), child.poll())
child.stdin.close()
print(child.wait(timeout=30))
child.stdout.close()
