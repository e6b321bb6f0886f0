import html
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

root = ET.Element("orders")
for number, price in enumerate([9.5, 3.25], 1):
    order = ET.SubElement(root, "order", id=str(number))
    ET.SubElement(order, "price").text = str(price)
ET.ElementTree(root).write("orders.xml", encoding="utf-8", xml_declaration=True)
parsed = ET.parse("orders.xml").getroot()
print(sum(float(price.text) for price in parsed.iter("price")))


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.found.append(dict(attrs).get("href"))


links = Links()
links.feed("<p><a href='/one'>1</a> &amp; <a href='/two'>2</a></p>")
print(links.found, html.unescape("&lt;b&gt;"))
