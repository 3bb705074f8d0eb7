"""A small Django site: an anonymous page, a form with a token, accounts, static files.

Listens on PORT of 127.0.0.1, or any free one, says so on stdout, ends with its stdin if EXIT_WITH_STDIN is set, and
answers GET /_tap with the requests that reached it; DELETE /_tap empties the list.
"""

import json
import os
import sys
import tempfile
import threading
from pathlib import Path

import django
from django.conf import settings

HERE = Path(__file__).parent
STATE = Path(tempfile.mkdtemp(prefix="shellac-django."))

settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
    ],
    MIDDLEWARE=[
        "whitenoise.middleware.WhiteNoiseMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [HERE / "pages"],
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": STATE / "db"}},
    STORAGES={
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    },
    STATIC_URL="/static/",
    STATIC_ROOT=STATE / "static",
    STATICFILES_DIRS=[HERE / "assets"],
    LANGUAGES=[("en", "English"), ("de", "Deutsch")],
    LOGIN_REDIRECT_URL="/",
    USE_TZ=True,
)
django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.shortcuts import render  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils.translation import get_language  # noqa: E402
from django.views.decorators.cache import cache_control  # noqa: E402


@cache_control(public=True, s_maxage=600)
def home(request):
    return render(request, "home.html")


@cache_control(public=True, s_maxage=600)
def plain(request):
    return HttpResponse(f"the same for everybody who reads {get_language()}")


@cache_control(s_maxage=600)
def form(request):
    if request.method == "POST":
        return HttpResponse(f"thank you for {request.POST['text']}")
    return render(request, "form.html")


urlpatterns = [
    path("", home),
    path("plain/", plain),
    path("form/", form),
    path("login/", LoginView.as_view(template_name="form.html")),
    path("admin/", admin.site.urls),
]

RECORDED_MAX = 20_000


class Tap:
    """Records the requests that reach an application."""

    def __init__(self, application):
        self.application = application
        self.recorded = []

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/_tap":
            document = json.dumps(self.recorded).encode()
            if environ["REQUEST_METHOD"] == "DELETE":
                self.recorded = []
            start_response("200 OK", [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
            return [document]
        if len(self.recorded) < RECORDED_MAX:
            names = (name for name in environ if name.startswith("HTTP_"))
            headers = {name[5:].lower().replace("_", "-"): environ[name] for name in names}
            query = environ["QUERY_STRING"] and "?" + environ["QUERY_STRING"]
            url = environ["PATH_INFO"] + query
            self.recorded.append({"method": environ["REQUEST_METHOD"], "url": url, "headers": headers})
        return self.application(environ, start_response)


def end_with_stdin():
    sys.stdin.read()
    os._exit(0)


def main():
    from waitress import create_server

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    User.objects.create_superuser("ada", password="lovelace")
    server = create_server(Tap(get_wsgi_application()), host="127.0.0.1", port=int(os.environ.get("PORT", 0)))
    if os.environ.get("EXIT_WITH_STDIN"):
        threading.Thread(target=end_with_stdin, daemon=True).start()
    print(f"listening on http://127.0.0.1:{server.effective_port}", flush=True)
    server.run()


main()
