"""What the markup of a page of the site lacks: headings in order, names of links, a description."""

import re
from html.parser import HTMLParser

CODE = re.compile(r"<(pre|script|style|svg)\b.*?</\1>", re.DOTALL)


class Markup(HTMLParser):
    """Levels of headings, links with their names, images without one, and what the head says."""

    def __init__(self, text):
        super().__init__()
        self.levels: list[int] = []
        self.named: list[list[str]] = []
        self.images = 0
        self.head: list[str] = []
        self._open: list[str] | None = None
        self.feed(CODE.sub(self._name, text))

    @staticmethod
    def _name(found):
        """Return the words of a picture, and nothing of code."""
        label = re.search(r'aria-label="([^"]+)"', found[0].partition(">")[0])
        title = re.search(r"<title>([^<]+)</title>", found[0])
        return next((one[1] for one in (label, title) if one), "")

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        elif tag == "a" and "href" in given:
            self._open = [given["href"] or "", given.get("aria-label") or ""]
            self.named.append(self._open)
        elif tag == "img":
            self.images += "alt" not in given
            if self._open is not None:
                self._open[1] += given.get("alt") or ""
        elif tag == "meta":
            self.head.append(given.get("name") or given.get("property") or "")

    def handle_data(self, data):
        if self._open is not None:
            self._open[1] += data

    def handle_endtag(self, tag):
        if tag == "a":
            self._open = None


def complaints(text):
    """Return what is wrong with the markup of a page, as a list of words."""
    found = Markup(text)
    wrong = [f"{found.levels.count(1)} h1"] * (found.levels.count(1) != 1)
    jumps = [b for a, b in zip([0, *found.levels], found.levels, strict=False) if b > a + 1]
    wrong += [f"jump to h{level}" for level in jumps]
    wrong += [f"link without a name: {address}" for address, name in found.named if not name.strip()]
    wrong += [f"{found.images} images without alt"] * bool(found.images)
    wanted = ("description", "viewport", "og:title", "og:description")
    return wrong + [f"{found.head.count(name)} {name}" for name in wanted if found.head.count(name) != 1]
