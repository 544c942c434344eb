"""Run by Superset's own Python in its folder: makes its database, its roles, and the user `admin`.

The steps of `superset db upgrade`, `superset init` and `superset fab create-admin` in one process, since each
start takes seconds, and without the password in a command line.
"""

from pathlib import Path

import flask_migrate

from superset.app import create_app

with create_app().app_context():
    from superset import appbuilder, db
    from superset import security_manager as people

    flask_migrate.upgrade()
    appbuilder.add_permissions(update_perms=True)
    people.sync_role_definitions()
    db.session.commit()
    password = Path("admin.password").read_text(encoding="utf-8")
    known = people.find_user("admin")
    if known is not None:
        people.reset_password(known.id, password)
    elif not people.add_user(
        "admin", "admin", "of this machine", "admin@localhost", people.find_role("Admin"), password=password
    ):
        raise SystemExit("Superset refuses the user 'admin'; its log says why")
