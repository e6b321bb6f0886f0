import subprocess

with subprocess.Popen(["sh", "-c", "for i in 1 2 3; do echo line $i; done"], stdout=subprocess.PIPE, text=True) as child:
    for line in child.stdout:
        print("got", line.rstrip())
print(child.returncode)
first = subprocess.Popen(["printf", "c\\na\\nb\\n"], stdout=subprocess.PIPE)
second = subprocess.Popen(["sort"], stdin=first.stdout, stdout=subprocess.PIPE, text=True)
first.stdout.close()
print(second.communicate()[0].split(), first.wait())
