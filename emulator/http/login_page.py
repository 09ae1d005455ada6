"""The pages that a browser sees during login. Ours: only the code's element is a promise."""

from __future__ import annotations

from html import escape

_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em; color: #222; }}
code {{ background: #eef; padding: 0.4em 0.6em; border-radius: 4px; font-size: 1.1em; user-select: all; }}
button {{ font: inherit; padding: 0.4em 1.2em; }}
small {{ color: #666; }}
</style>
</head>
<body>
<h1>{title}</h1>
{content}
<p><small>This is an emulated Globus on this computer. Nothing here reaches the real service.</small></p>
</body>
</html>
"""


def code_page(code: str) -> str:
    """Shows the authorization code, to be copied to where the login was started."""
    content = (
        f'<p>Copy this code to the terminal that asked for it:</p>\n<p><code id="auth-code">{escape(code)}</code></p>'
    )
    return _FRAME.format(title="Authorization code", content=content)


def login_page(username: str, scope_names: list[str]) -> str:
    """Asks the person to sign in and to consent, with one button."""
    rows = "\n".join(f"<li>{escape(name)}</li>" for name in scope_names)
    content = f'<p>An application asks for:</p>\n<ul>\n{rows}\n</ul>\n<form method="post">'
    content += f"<button>Sign in as {escape(username)} and allow</button></form>"
    return _FRAME.format(title="Sign in", content=content)


def error_page(message: str) -> str:
    """Says why there is no code."""
    return _FRAME.format(title="Error", content=f'<p id="error">{escape(message)}</p>')
