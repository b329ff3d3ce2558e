"""Documents that chat pages put into a message, around what the person asked.

Open WebUI writes what it found in a person's documents, and how to answer, into the message itself. The
question alone is what is to be planned; the documents go along as a text file, which experts read.
"""

import re

_TASK = re.compile(r"\s*### *Task:\s*Respond to the user query using the provided context\b")
_BEGIN, _END = "<context>", "</context>"


def parted(text: str) -> tuple[str, str]:
    """What a person asked, and the documents around it; all is the question where there are none."""
    task = _TASK.match(text)
    end = text.rfind(_END)
    begin = text.rfind(_BEGIN, task.end(), max(0, end)) if task else -1
    if begin < 0:
        return text, ""
    behind = text[end + len(_END) :].strip()
    query = between(behind, "<user_query>", "</user_query>")
    asked = behind if query is None else query
    return (asked, text[begin + len(_BEGIN) : end].strip()) if asked else (text, "")


def between(text: str, begin: str, end: str) -> str | None:
    """What stands between two marks, without the blanks around it; None where they do not stand so."""
    start = text.find(begin)
    stop = text.find(end, start + len(begin)) if start >= 0 else -1
    return text[start + len(begin) : stop].strip() if stop >= 0 else None
