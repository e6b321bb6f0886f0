class Node:
    def __init__(self, name):
        self.name = name


nodes = {Node(name) for name in "abcdefgh"}
print(len(nodes), sorted(node.name for node in nodes))


class Tag:
    def __init__(self, text):
        self.text = text

    def __eq__(self, other):
        return self.text == other.text

    def __hash__(self):
        return hash(self.text)

    def __repr__(self):
        return f"Tag({self.text})"


print({Tag("x"), Tag("y"), Tag("x"), Tag("z")})
functions = {len, print, sorted, max}
print(sorted(function.__name__ for function in functions), {int, str, float} >= {int})
