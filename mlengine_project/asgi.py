"""The web process: HTTP through the fast road and Django, `/ws/signals` through Channels."""

import os
import sys
import warnings

import django
from channels.routing import ProtocolTypeRouter
from channels.sessions import SessionMiddlewareStack
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")

if settings.EMBEDDED and not settings.IS_UP and not settings.IS_TEST:
    sys.exit("REDIS_URL is not set: web servers cannot share work without it; run `manage.py up` instead.")

django.setup(set_prefix=False)

from channels.auth import AuthMiddleware  # noqa: E402  (needs the apps to be loaded)

from mlengine_project.access.proxy import TrustedProxy  # noqa: E402
from mlengine_project.checks import stop_on_errors  # noqa: E402
from mlengine_project.http.django_handler import OneThreadHandler  # noqa: E402
from mlengine_project.http.fast_road import FastRoad  # noqa: E402
from mlengine_project.http.handshakes import Handshakes  # noqa: E402
from mlengine_project.http.limits import RequestLimits  # noqa: E402
from mlengine_project.http.request_threads import RequestThreads  # noqa: E402
from mlengine_project.lifespan import Lifespan  # noqa: E402
from mlengine_project.push import signal_consumer  # noqa: E402

if not settings.IS_TEST:
    stop_on_errors()
    # Static files are small and read by a blocking iterator; Django warns once for each.
    warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume")

fast_road = FastRoad(RequestThreads(OneThreadHandler(), settings.REQUEST_THREADS))
application = TrustedProxy(
    ProtocolTypeRouter(
        {
            "http": RequestLimits(fast_road),
            "websocket": Handshakes("/ws/signals", SessionMiddlewareStack(AuthMiddleware(signal_consumer()))),
            "lifespan": Lifespan(),
        }
    ),
    fast_road,
)
