#pragma once

#include "rulegrad/error.hpp"
#include "rulegrad/text.hpp"
