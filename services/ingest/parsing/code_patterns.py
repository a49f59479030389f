"""What a definition looks like, per language: light patterns over single lines, good enough to cut at.

The first group that matched is the name. A missed definition makes a longer section, a false one an extra boundary
inside code; neither breaks anything.
"""

import re

# Lines directly above a definition that belong to it.
ATTACHED = re.compile(r"\s*(?://|/\*|\*|#(?!include|define|if|endif|else|pragma)|--|@|\[\w|;;|\"\"\"$)")

_JAVASCRIPT = re.compile(
    r"\s*(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?"
    r"(?:(?:class|interface|enum|namespace|function\*?)\s+([\w$]+)"
    r"|type\s+([\w$]+)[^=]*="
    r"|(?:const|let|var)\s+([\w$]+)\s*(?::[^=]+)?=\s*(?:async\s*)?(?:function\b|\([^)]*\)[^=]*=>|[\w$]+\s*=>|class\b)"
    r"|(?:(?:public|private|protected|static|get|set|async|override|readonly)\s+)*"
    r"(?!(?:if|for|while|switch|catch|return|function|with)\b)([\w$#]+)\s*(?:<[^>]*>)?\([^)]*\)\s*(?::[^{]+)?\{\s*$)"
)
_JAVA = re.compile(
    r"\s*(?:(?:public|private|protected|internal|static|final|abstract|sealed|partial|async|override|virtual|open|data"
    r"|synchronized|native|default|readonly|unsafe|inline|suspend|implicit|case|lazy)\s+)*"
    r"(?:(?:class|interface|enum|record|struct|object|trait|namespace|@interface)\s+(\w+)"
    r"|(?:fun|def|func)\s+(?:<[^>]*>\s*)?([\w.]+)"
    r"|(?!(?:return|new|throw|else|await|if|for|while|switch|catch|using)\b)"
    r"[\w<>\[\],.?]+(?:\s+|\s*[*&]\s*)(\w+)\s*\([^;={]*(?:\{|$|\)\s*throws))"
)
_C = re.compile(
    r"(?:(?:template\s*<[^>]*>\s*)?(?:class|struct|enum(?:\s+class)?|union|namespace)\s+(?:\w+\s+)*?(\w+)\s*(?:[:{]|$)"
    r"|(?!(?:return|else|if|for|while|switch|typedef|using|do|goto|case)\b)[A-Za-z_][\w:<>,\s*&~]*?[\s*&]"
    r"([\w:~]+(?:operator\S+)?)\s*\([^;]*$"
    r"|\s+(?:virtual\s+|static\s+|inline\s+|explicit\s+)+[\w:<>,\s*&]*?([\w~]+)\s*\([^;]*\{\s*$)"
)
_SQL = re.compile(
    r"\s*(?:create|alter)\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+|unique\s+|materialized\s+)*"
    r"(?:table|view|function|procedure|index|trigger|type|schema)\s+(?:if\s+not\s+exists\s+)?([\w.\"`\[\]]+)",
    re.I,
)

DEFINITIONS: dict[str, re.Pattern[str]] = {
    "python": re.compile(r"\s*(?:async\s+)?(?:def|class)\s+(\w+)"),
    "javascript": _JAVASCRIPT,
    "typescript": _JAVASCRIPT,
    "php": _JAVASCRIPT,
    "go": re.compile(r"(?:func\s+(?:\([^)]*\)\s*)?(\w+)|type\s+(\w+)\s)"),
    "rust": re.compile(
        r"\s*(?:pub(?:\([^)]*\))?\s+)?(?:default\s+|const\s+|async\s+|unsafe\s+|extern\s+\"[^\"]*\"\s+)*"
        r"(?:(?:fn|struct|enum|trait|mod|union|type|macro_rules!)\s+(\w+)|(impl\b[^{]*))"
    ),
    "java": _JAVA,
    "kotlin": _JAVA,
    "scala": _JAVA,
    "csharp": _JAVA,
    "swift": _JAVA,
    "c": _C,
    "cpp": _C,
    "ruby": re.compile(r"\s*(?:def\s+([\w.?!=]+)|(?:class|module)\s+([\w:]+))"),
    "shell": re.compile(r"\s*(?:function\s+([\w:-]+)|([\w:-]+)\s*\(\)\s*\{?)"),
    "sql": _SQL,
    "protobuf": re.compile(r"\s*(?:message|service|enum|rpc)\s+(\w+)"),
    "lua": re.compile(r"\s*(?:local\s+)?function\s+([\w.:]+)"),
    "perl": re.compile(r"\s*(?:sub|package)\s+([\w:]+)"),
    "make": re.compile(r"([\w./%-]+)\s*:(?!=)"),
    "terraform": re.compile(r"((?:resource|module|variable|output|data|provider)\s+\"[^\"]+\"(?:\s+\"[^\"]+\")?)"),
    "graphql": re.compile(r"(?:type|interface|enum|input|union|scalar)\s+(\w+)"),
}
