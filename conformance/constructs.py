"""What is asked of a network, and where the cases are kept."""
LRP = [("lrp.epsilon", {"epsilon": 1e-9})]
PLUS = [("lrp.z_plus", {})]
MASKS = [("guided_backprop", {}), ("deconvnet", {})]
GRADIENT = [("gradient", {})]
LIFT = [("deeplift.rescale", {})]
PATH = [("integrated_gradients", {"steps": 16})]

CASES = {}


def case(construct, questions, accepts=("",), only=None, least=0.02):
    """A case: what it tries, what is asked, and the conventions that count as right where the literature leaves a choice (those named for
    `only` these methods). The function gives the network."""
    def add(function):
        CASES[function.__name__] = (construct, function.__doc__, questions, accepts, only or {"lrp.epsilon"}, least, function)
        return function
    return add
