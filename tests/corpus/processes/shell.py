import os
import subprocess

status = os.system("echo from the shell > shell.txt")
print(status, open("shell.txt").read())
with os.popen("ls *.txt | wc -l") as pipe:
    print(int(pipe.read()) >= 1)
print(subprocess.getoutput("echo one two"), subprocess.getstatusoutput("false")[0])
print(subprocess.run("echo $GREETING", shell=True, env={**os.environ, "GREETING": "hi"}, capture_output=True).stdout)
