"""A model of MLServer that predicts eight outputs of one row of 60 ready features by XGBoost."""

import numpy as np
import xgboost as xgb
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Boosters(MLModel):
    async def load(self) -> bool:
        rng = np.random.default_rng(1)
        rows, targets = rng.normal(size=(2000, 60)).astype(np.float32), rng.normal(size=(2000, 8))
        self.model = xgb.XGBRegressor(n_estimators=400, max_depth=6, n_jobs=1).fit(rows, targets)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = np.array(payload.inputs[0].data, dtype=np.float32).reshape(payload.inputs[0].shape)
        found = self.model.predict(rows)
        output = ResponseOutput(name="ranges", shape=list(found.shape), datatype="FP32", data=found.ravel().tolist())
        return InferenceResponse(model_name=self.name, outputs=[output])
