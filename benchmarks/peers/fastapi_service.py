"""A plain FastAPI service of cached predictions: key check, counter and cache in Redis, uvicorn's access log."""

import hashlib
import hmac
import json
import os
import time

import redis.asyncio
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel

PEPPER, LIMIT = os.environ["API_KEY_PEPPER"].encode(), int(os.environ["RATE_LIMIT"])
KEYS = {hmac.new(PEPPER, os.environ["API_KEY"].encode(), hashlib.sha256).hexdigest(): "a caller"}

app = FastAPI()
store = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])


class PredictionRequest(BaseModel):
    symbol: str
    horizon: int


async def counted(x_api_key: str = Header()) -> str:
    digest = hmac.new(PEPPER, x_api_key.encode(), hashlib.sha256).hexdigest()
    caller = KEYS.get(digest)
    if caller is None:
        raise HTTPException(401, "Invalid API Key")
    bucket = f"peer:limit:{digest}:{int(time.time() // 60)}"
    used = await store.incr(bucket)
    if used == 1:
        await store.expire(bucket, 60)
    if used > LIMIT:
        raise HTTPException(429, "Too many requests")
    return caller


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/predictions", dependencies=[Depends(counted)])
async def predict(request: PredictionRequest) -> Response:
    key = f"peer:prediction:{request.symbol}:{request.horizon}"
    cached = await store.get(key)
    if cached is None:
        prediction = {"symbol": request.symbol, "horizon": request.horizon, "predicted_high": "1.0"}
        cached = json.dumps(prediction).encode()
        await store.set(key, cached, ex=60)
    return Response(cached, media_type="application/json")
