"""Who may log in, and what Django's own permissions say: nothing. Rights come from the membership alone."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend


class MembershipBackend(ModelBackend):
    """Logs users in. Rows of Django's permission tables grant nothing, whoever may have put them there."""

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def get_group_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return False

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return False
