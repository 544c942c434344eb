"""Run by Superset's own Python in its folder: the user `admin` has the password that is in the file."""

from pathlib import Path

from superset.app import create_app

with create_app().app_context():
    from superset import security_manager as people

    password = Path("admin.password").read_text(encoding="utf-8")
    known = people.find_user("admin")
    if known is not None:
        people.reset_password(known.id, password)
    elif not people.add_user(
        "admin", "admin", "of this machine", "admin@localhost", people.find_role("Admin"), password=password
    ):
        raise SystemExit("Superset refuses the user 'admin'; its log says why")
