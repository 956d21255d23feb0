"""Models of scikit-learn, trained on numbers drawn here, as skl2onnx writes them."""

import numpy as np

from zoo_registry import MODELS, Converted, Entry

FEATURES = 5


def data():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(120, FEATURES))
    score = x @ rng.normal(size=FEATURES) + 0.5 * x[:, 0] * x[:, 1]
    return x, score, (score > 0).astype(int), np.digitize(score, [-1.0, 1.0])


def pipeline(*steps):
    from sklearn.pipeline import make_pipeline

    return make_pipeline(*steps)


# name -> (what makes it, what is learnt: two or three classes or a number, the function compared, has it a gradient?)
def listed():
    from sklearn import cluster, compose, cross_decomposition, decomposition, discriminant_analysis, ensemble, feature_selection, gaussian_process, linear_model, mixture, multiclass, naive_bayes, neighbors, neural_network, preprocessing, svm, tree
    from sklearn import calibration, impute, pipeline as pipelines

    lm, pre, nn = linear_model, preprocessing, neural_network
    small = dict(n_estimators=6, max_depth=3, random_state=0)
    return {
        "logistic_regression": (lm.LogisticRegression(), 2, "predict_proba", True), "logistic_regression_3": (lm.LogisticRegression(), 3, "predict_proba", True),
        "scaler_logistic_regression": (pipeline(pre.StandardScaler(), lm.LogisticRegression()), 3, "predict_proba", True),
        "minmax_mlp_relu": (pipeline(pre.MinMaxScaler(), nn.MLPClassifier((8,), max_iter=60, random_state=0)), 3, "predict_proba", True),
        "mlp_tanh": (nn.MLPClassifier((8, 6), activation="tanh", max_iter=60, random_state=0), 2, "predict_proba", True), "mlp_logistic": (nn.MLPClassifier((8,), activation="logistic", max_iter=60, random_state=0), 3, "predict_proba", True),
        "mlp_regressor": (pipeline(pre.RobustScaler(), nn.MLPRegressor(hidden_layer_sizes=(8,), activation="tanh", max_iter=60, random_state=0)), 0, "predict", True),
        "linear_regression": (lm.LinearRegression(), 0, "predict", True), "ridge": (pipeline(pre.PolynomialFeatures(2), lm.Ridge()), 0, "predict", True), "lasso": (lm.Lasso(0.01), 0, "predict", True),
        "elastic_net": (pipeline(pre.MaxAbsScaler(), lm.ElasticNet(0.01)), 0, "predict", True), "huber": (lm.HuberRegressor(), 0, "predict", True), "poisson_regressor": (lm.PoissonRegressor(), -1, "predict", True), "gamma_regressor": (lm.GammaRegressor(), -1, "predict", True),
        "bayesian_ridge": (lm.BayesianRidge(), 0, "predict", True), "sgd_classifier": (lm.SGDClassifier(loss="log_loss", random_state=0), 3, "predict_proba", True), "linear_svr": (svm.LinearSVR(), 0, "predict", True),
        "linear_svc": (svm.LinearSVC(), 3, "decision_function", True), "ridge_classifier": (lm.RidgeClassifier(), 3, "decision_function", True), "perceptron": (lm.Perceptron(random_state=0), 3, "decision_function", True),
        "svc_rbf": (svm.SVC(), 2, "decision_function", True), "svc_poly_3": (svm.SVC(kernel="poly", decision_function_shape="ovo"), 3, "decision_function", True), "svc_probability": (svm.SVC(probability=True, random_state=0), 2, "predict_proba", True),
        "svc_probability_3": (svm.SVC(probability=True, random_state=0), 3, "predict_proba", True), "svr_rbf": (pipeline(pre.StandardScaler(), svm.SVR()), 0, "predict", True), "svr_sigmoid": (svm.SVR(kernel="sigmoid", gamma=0.1), 0, "predict", True), "one_class_svm": (svm.OneClassSVM(), 0, "decision_function", True),
        "pca_logistic": (pipeline(pre.StandardScaler(), decomposition.PCA(3), lm.LogisticRegression()), 3, "predict_proba", True), "kernel_pca": (decomposition.KernelPCA(3, kernel="rbf"), 0, "transform", True), "truncated_svd": (pipeline(decomposition.TruncatedSVD(3), lm.Ridge()), 0, "predict", True),
        "incremental_pca": (decomposition.IncrementalPCA(3), 0, "transform", True), "pls_regression": (cross_decomposition.PLSRegression(2), 0, "predict", True), "lda": (discriminant_analysis.LinearDiscriminantAnalysis(), 3, "predict_proba", True),
        "qda": (discriminant_analysis.QuadraticDiscriminantAnalysis(), 3, "predict_proba", True), "gaussian_nb": (naive_bayes.GaussianNB(), 3, "predict_proba", True), "gaussian_process": (gaussian_process.GaussianProcessRegressor(alpha=0.1), 0, "predict", True),
        "gaussian_mixture": (mixture.GaussianMixture(2, random_state=0), 0, "predict_proba", True), "kmeans": (cluster.KMeans(3, n_init=1, random_state=0), 0, "transform", True), "power_transformer": (pre.PowerTransformer(), 0, "transform", True),
        "normalizer": (pipeline(pre.Normalizer(), lm.LogisticRegression()), 3, "predict_proba", True), "select_k_best": (pipeline(feature_selection.SelectKBest(k=3), lm.LogisticRegression()), 3, "predict_proba", True),
        "imputer": (pipeline(impute.SimpleImputer(), lm.LogisticRegression()), 3, "predict_proba", True), "feature_union": (pipeline(pipelines.make_union(pre.StandardScaler(), decomposition.PCA(2)), lm.LogisticRegression()), 3, "predict_proba", True),
        "column_transformer": (pipeline(compose.make_column_transformer((pre.StandardScaler(), [0, 1, 2]), (pre.MinMaxScaler(), [3, 4])), lm.LogisticRegression()), 3, "predict_proba", True),
        "one_vs_rest": (multiclass.OneVsRestClassifier(lm.LogisticRegression()), 3, "predict_proba", True), "voting": (ensemble.VotingClassifier([("a", lm.LogisticRegression()), ("b", naive_bayes.GaussianNB())], voting="soft", flatten_transform=False), 3, "predict_proba", True),
        "stacking": (ensemble.StackingClassifier([("a", lm.LogisticRegression()), ("b", naive_bayes.GaussianNB())]), 3, "predict_proba", True), "bagging": (ensemble.BaggingClassifier(lm.LogisticRegression(), 3, random_state=0), 3, "predict_proba", True),
        "calibrated": (calibration.CalibratedClassifierCV(lm.LogisticRegression()), 3, "predict_proba", True), "quantile_regressor": (lm.QuantileRegressor(alpha=0.01), 0, "predict", True),
        "decision_tree": (tree.DecisionTreeClassifier(max_depth=4, random_state=0), 3, "predict_proba", False), "decision_tree_regressor": (tree.DecisionTreeRegressor(max_depth=4, random_state=0), 0, "predict", False),
        "random_forest": (ensemble.RandomForestClassifier(**small), 3, "predict_proba", False), "random_forest_regressor": (ensemble.RandomForestRegressor(**small), 0, "predict", False),
        "extra_trees": (ensemble.ExtraTreesClassifier(**small), 2, "predict_proba", False), "gradient_boosting": (ensemble.GradientBoostingClassifier(**small), 2, "predict_proba", False), "gradient_boosting_3": (ensemble.GradientBoostingClassifier(**small), 3, "predict_proba", False),
        "gradient_boosting_regressor": (ensemble.GradientBoostingRegressor(**small), 0, "predict", False), "hist_gradient_boosting": (ensemble.HistGradientBoostingClassifier(max_iter=5, max_depth=3), 2, "predict_proba", False), "hist_gradient_boosting_regressor": (ensemble.HistGradientBoostingRegressor(max_iter=5, max_depth=3), 0, "predict", False),
        "ada_boost": (ensemble.AdaBoostClassifier(n_estimators=4, random_state=0), 3, "predict_proba", False), "isolation_forest": (ensemble.IsolationForest(n_estimators=6, random_state=0), 0, "decision_function", False),
        "scaler_random_forest": (pipeline(pre.StandardScaler(), ensemble.RandomForestClassifier(**small)), 3, "predict_proba", False), "k_neighbors": (neighbors.KNeighborsClassifier(5), 3, "predict_proba", False), "k_neighbors_regressor": (neighbors.KNeighborsRegressor(5, weights="distance"), 0, "predict", True),
        "k_bins": (pipeline(pre.KBinsDiscretizer(4, encode="onehot-dense", strategy="uniform"), lm.LogisticRegression()), 3, "predict_proba", False), "binarizer": (pipeline(pre.Binarizer(threshold=0.3), lm.LogisticRegression()), 3, "predict_proba", False),
    }


def converted(name):
    def make(dtype):
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

        net, kind, function, smooth = listed()[name]
        x, score, two, three = data()
        net.fit(x, {0: score, -1: np.exp(score / 3), 2: two, 3: three}[kind])
        options = {}
        if name in ("linear_svc", "ridge_classifier", "perceptron", "svc_rbf", "svc_poly_3"):
            options = {"raw_scores": True}
        elif function == "predict_proba" and name != "gaussian_mixture":
            options = {"zipmap": False}
        if name in ("svc_rbf", "svc_poly_3", "perceptron", "ridge_classifier"):
            options["zipmap"] = False
        tensor = DoubleTensorType if dtype == "float64" else FloatTensorType
        model = to_onnx(net, initial_types=[("x", tensor([None, FEATURES]))], options={id(net): options} if options else None, target_opset={"": 18, "ai.onnx.ml": 3})
        outputs = [o.name for o in model.graph.output]
        wanted = {"predict_proba": ("probabilities", "output_probability"), "decision_function": ("probabilities", "scores"), "transform": ("scores",)}.get(function, ())
        output = next((o for o in outputs if o in wanted), outputs[0])
        given = np.random.default_rng(9).normal(size=(3, FEATURES)).astype(np.float32).astype(np.float64)  # no model has seen them

        def answer(x):
            y = np.asarray(getattr(net, function)(x))
            if name == "svc_rbf":  # a column for each of both classes
                return np.stack([-y, y], 1)
            return y[:, None] if y.ndim == 1 else y

        return Converted(model.SerializeToString(), {"x": given}, answer, output, smooth)

    return make


for name in """logistic_regression logistic_regression_3 scaler_logistic_regression minmax_mlp_relu mlp_tanh mlp_logistic mlp_regressor linear_regression ridge lasso elastic_net huber
poisson_regressor gamma_regressor bayesian_ridge sgd_classifier linear_svr linear_svc ridge_classifier perceptron svc_rbf svc_poly_3 svc_probability svc_probability_3 svr_rbf svr_sigmoid
one_class_svm pca_logistic kernel_pca truncated_svd incremental_pca pls_regression lda qda gaussian_nb gaussian_process gaussian_mixture kmeans power_transformer normalizer select_k_best imputer
feature_union column_transformer one_vs_rest voting stacking bagging calibrated quantile_regressor decision_tree decision_tree_regressor random_forest random_forest_regressor extra_trees
gradient_boosting gradient_boosting_3 gradient_boosting_regressor hist_gradient_boosting hist_gradient_boosting_regressor ada_boost isolation_forest scaler_random_forest k_neighbors
k_neighbors_regressor k_bins binarizer""".split():
    MODELS[f"sklearn/{name}"] = Entry(converted(name), ("skl2onnx",))
