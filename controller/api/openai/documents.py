"""Documents that chat pages put into a message, around what the person asked.

Open WebUI writes what it found in a person's documents, and how to answer, into the message itself. The
question alone is what is to be planned; the documents go along as a text file, which experts read.
"""

import re

_AROUND = re.compile(
    r"\s*### *Task:\s*Respond to the user query using the provided context\b.*<context>(.*)</context>(.*)",
    re.DOTALL,
)
_QUERY = re.compile(r"<user_query>(.*?)</user_query>", re.DOTALL)


def parted(text: str) -> tuple[str, str]:
    """What a person asked, and the documents around it; all is the question where there are none."""
    around = _AROUND.fullmatch(text)
    if around is None:
        return text, ""
    query = _QUERY.search(around[2])
    asked = (query[1] if query else around[2]).strip()
    return (asked, around[1].strip()) if asked else (text, "")
